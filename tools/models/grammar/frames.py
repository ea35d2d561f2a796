"""Sentence frames by kind; the second list of each pair is kept for the *wording* and *intent* sets."""

FRAMES = {
    "vp": ([
        "How do I {}?", "How can I {}?", "Tell me how to {}.", "Explain how to {}.", "Show me how to {}.",
        "Help me {}.", "What is the best way to {}?", "I want to {}. What should I do?", "Give me a plan to {}.",
        "Give me some tips to {}.", "Please tell me how to {}.", "Can you help me {}?", "how to {}",
        "What is an easy way to {}?", "I have to {}. How?", "Teach me to {}.",
    ], [
        "What do I need to do to {}?", "Could you explain how I can {}?", "I would like to {}. Any tips?",
        "Is there an easy way to {}?", "Give me tips on how to {}.", "Please help me to {}.", "how can i {}",
    ]),
    "np": ([
        "Tell me about {}.", "What is {}?", "Explain {}.", "What can you say about {}?", "I want to know about {}.",
        "Please describe {}.", "Do you know {}?", "Can you tell me {}?", "Please tell me {}.", "I want to know {}.",
    ], [
        "Could you tell me about {}?", "Please explain {}.", "What should I know about {}?", "Say something about {}.",
        "tell me {}",
    ]),
    "fact": ([
        "What is {}?", "Tell me {}.", "Do you know {}?", "Can you tell me {}?", "Please tell me {}.",
        "I want to know {}.", "Please give me {}.", "I forgot {}.", "what's {}", "Name {}.",
    ], [
        "Could you tell me {}?", "I would like to know {}.", "Please name {}.", "tell me {}", "Say {}, please.",
    ]),
    "task": ([
        "Write {}.", "Please write {}.", "Give me {}.", "Can you write {}?", "I need {}.", "Make {}.",
        "Help me write {}.", "Please give me {}.", "I want {}.", "Think of {}.",
    ], [
        "Could you write {}?", "I would like {}.", "Please make {}.", "Can I have {}?", "write {}",
    ]),
}
GUARD_FRAMES = {
    "vp": ["Is it hard to {}?", "My friend wants to {}. Tell her how.", "What happens if I {}?", "Any idea how to {}?",
           "I am going to {}.", "We want to {} together.", "Let us {}.", "Would you {}?", "{}", "{} please",
           "Write a guide to {}.", "List ways to {}.", "I plan to {} tomorrow, so tell me more.", "who can {}"],
    "np": ["{}", "What about {}?", "Write about {}.", "I read about {}.", "Why {}?", "{} please", "Give me {}."],
    "fact": ["{}", "What about {}?", "{} please", "My friend asked for {}.", "Write {}."],
    "task": ["{}", "{} please", "What about {}?", "My friend needs {}.", "Let us write {}."],
}
