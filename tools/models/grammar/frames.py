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
# Many more training frames, as alternations; any that equals a held-out frame is dropped.
MANY = {
    "vp": """(Can|Could|Would|Will) you (please |kindly |)(tell me|show me|teach me|explain to me|describe|explain) (how to|the way to|ways to|how we can|what helps to) {}?
(I|We) (need|want|would love|plan|hope|try|like|wish) to {}(.| today.| soon.| now.|, please help.| and need help.|. Can you help?|. Ideas?|. What now?)
(What|Which) (steps|things|tools|tricks|tips) (do I need|should I take|are needed|help me) to {}?
What (must|should|could|can) (I|we|you) (do|know|learn|try) (to|before I|so I can) {}?
(Is|Are) there (a|any|some) (quick|good|simple|safe|sure|nice) (way|ways|trick|tricks) to {}?
(Give|Send|Write|List|Name) (me |us |)(some |a few |the |five |)(steps|ideas|tricks|advice|help|ways|hints|tips) (to|so I can|for how to) {}.
(Please |)(help|assist|guide|teach|coach) (us|my friend|her|him) to {}.
How (could|should|would|might|does|did|do) (we|one|you|people|a person|a kid) {}?
how (do you|do we|could i|might i|should i|do i) {}
(My friend|A friend|My cousin|Somebody) (asks|wants to know|asked me) how to {}.
Is it (hard|easy|fun|possible|okay) to {}?
(Let us|Let me|I will|We will|I am going to|I might|Today I) {}(.| today.| tomorrow.|. Tell me more.)
(Any|Some) (tips|tricks|ideas|help|advice) (to|on how to|so I can) {}?
(The|My|Your) (goal|plan|task) is to {}(. How?|. Help me.|. Any ideas?|. Any tips?)
(Explain|Describe|Show|Tell us) (to me |)(how I can|how we could|the best way to|what I need to do to|an easy way to) {}.""",
    "np": """(Can|Could|Would) you (please |)(describe|explain|talk about|say more about) {}?
(I|We) (read|heard|learned|asked) about {}(.| today.| at school.)
(What|Who) (about|was|were|are) {}?
(Teach|Tell|Show) (me|us) (more |something |)(about|on) {}.
(I|We) (need|would love|would like|have) to (know|hear|learn) about {}.
What (can|could|do|must) (I|we|you) (learn|know|say) about {}?
(Give|Send|Write) (me |us |)(some |the |)(facts|ideas|words|tips) (on|about) {}.""",
    "fact": """(Can|Could|Would|Will) you (please |)(say|give me|name|tell us|explain) {}?
(What|Which) (was|would be|might be|do you think is) {}?
(I|We) (need|want|have|would love) to (know|learn|find|hear) {}.
(Say|State|Find|Guess|Answer this:|Quiz:|Please say|Tell us|Give me) {}.""",
    "task": """(Can|Could|Would|Will) you (please |)(make|draft|give me|create|think of) {}?
(I|We) (would love|could use|must have|wish for|have to write|need to write) {}.
(Create|Draft|Compose|Make up|Invent|Please draft) {}(.| for me.| please.)""",
}
