"""Live performances: a phone, a webcam or a clip moves a head while the actor acts, and can be recorded as a take."""
