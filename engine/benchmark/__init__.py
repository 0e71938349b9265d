"""The engine's speed: on this machine's processor (:mod:`.cpu`, :mod:`.context`) and on a CUDA GPU (:mod:`.gpu`)."""
