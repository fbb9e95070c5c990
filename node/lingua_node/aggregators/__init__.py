"""What a node keeps between the jobs of one turn: audio not yet recognised, and text already given. Pure."""
