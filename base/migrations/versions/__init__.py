"""One file a change of the database, oldest first. A file that was released never changes."""
