"""What models share: analysis over a catalog. Everything here returns data; printing is the command line's."""
