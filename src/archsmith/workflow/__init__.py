"""The whole job: from a folder of text and some limits to the files of a model that fits."""
