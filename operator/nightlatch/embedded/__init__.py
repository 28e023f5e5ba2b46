"""`nightlatch up`: the whole of it as local processes, from the same manifests a cluster takes."""
