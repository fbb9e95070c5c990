"""Speech recognition, translation and synthesis behind one interface each (base.py)."""
