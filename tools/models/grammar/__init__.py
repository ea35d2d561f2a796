"""Hand-written grammar of the classroom domain: intents, phrases, slots and answers."""
