"""What is predicted of a network before, or while, it is trained: law, process, intervals."""
