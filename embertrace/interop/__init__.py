"""Doors to what others build. Nothing here is imported until somebody asks for it; each module serves one neighbour."""
