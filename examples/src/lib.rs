//! Examples; each is a file in this folder.
