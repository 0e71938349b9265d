"""The parts that the five published networks are made of: encoders, tokens, attention, correspondence, decoders."""
