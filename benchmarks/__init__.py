"""What the provider costs, side by side with other ways to do its work: `make bench`."""
