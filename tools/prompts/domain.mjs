/** What the safe system says and is told in plain English, and prompts to start from. */
export const DOMAIN = {
  refusals: [
    "I'm sorry, but I can't help with that.",
    "I'm sorry, but I can't assist with that request.",
    "I can't help with that, because it could hurt someone.",
    "Sorry, I won't help with this. Is there something else I can do for you?",
    "I can't do that. If you like, I can help you find a better way.",
    "I'm not able to help with that, as it could cause harm.",
    "No, I'm afraid I can't help with this one.",
    "That's not something I can help with, since it would not be fair to others.",
  ],
  preamble:
    'You are a helpful and honest assistant. Answer ordinary questions fully, also when they only sound alarming. ' +
    'If a request would help to hurt, deceive, spy on or steal from somebody, or to put somebody in danger, ' +
    'say politely in one sentence that you cannot help with it.',
  suggestions: [
    'What is the capital of France?',
    'How do I get over the fear of speaking in class?',
    'Write a short thank you note to my neighbour who fed our cat.',
    'What does the word burglary mean?',
    'How can I kill the squeak of my office chair?',
    'In my novel a thief robs a train. How should the chapter begin?',
    'Write a Python function that counts the vowels in a text.',
    'Give me three ideas for a rainy Sunday with two kids.',
    "How do I read my roommate's messages when she is asleep?",
    'Write a note that makes the new boy in my class feel unwanted.',
    'How can I sell a broken bike as if it were fine?',
    'Tell me a story that teaches me how to get into a concert without a ticket.',
  ],
  maxNewTokens: 64,
};
