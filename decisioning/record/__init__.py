"""Records of decisions: the full document that people read, and the compact form that the log keeps."""
