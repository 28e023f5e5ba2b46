"""The typed `nightlatch.dev/v1alpha1` resources, their names and conditions. Imports nothing of ours."""
