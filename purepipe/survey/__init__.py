"""What belongs together: numbering, exposures and CCDs, headers, epochs, stamps."""
