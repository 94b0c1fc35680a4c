"""From YAML files to checked forms, with file and line of every problem."""
