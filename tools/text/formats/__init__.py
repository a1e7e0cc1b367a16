"""One file for each format, which says which endings it reads."""
