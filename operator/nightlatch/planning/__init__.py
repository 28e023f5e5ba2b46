"""From what is observed to what is wanted: `plan()`, builders for each child, readiness chains. Pure."""
