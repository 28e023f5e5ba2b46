module nightlatch.test/images

go 1.24
