"""HTTP: the application, its routes, and what goes over the wire."""
