"""What comes from outside the program: texts, JSON documents, and the sizes of arrays."""
