"""Head editing: interpolate avatars, replace regions, transfer expressions."""
