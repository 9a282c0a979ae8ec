"""Write TFDS data sets in both file formats, in processes or with Apache Beam."""
