// Onion
