"""embertrace."""
