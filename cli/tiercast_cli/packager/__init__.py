"""The packager: turns a folder and a definition into the chunks of a package.  The local half; sends nothing."""
