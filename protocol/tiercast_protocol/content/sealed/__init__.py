"""What a package is made of, sealed: chunks, entry lists, the signed root, and how they are cut and proved."""
