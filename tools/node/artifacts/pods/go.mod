module nightlatch.test/pods

go 1.24
