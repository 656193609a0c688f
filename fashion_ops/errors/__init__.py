"""What an error says: the line that a reader gets, and readers of files whose errors name the file."""
