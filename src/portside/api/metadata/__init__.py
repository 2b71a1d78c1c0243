"""The task metadata endpoint: what a container can ask about itself and its task, and its role's credentials."""
