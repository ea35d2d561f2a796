/** Columns that hold prompts, by the names that files give them, the likeliest first. */
export const PROMPT_NAMES: readonly string[] = [
  ...['prompt', 'question', 'instruction', 'goal', 'behavior', 'behaviour', 'request', 'query'],
  ...['user_prompt', 'forbidden_prompt', 'jailbreak_query', 'vanilla', 'adversarial', 'user'],
  ...['user_input', 'input', 'text', 'turns', 'messages', 'conversations', 'conversation'],
  ...['dialogue', 'dialog', 'chat', 'prompts', 'questions', 'instructions', 'content'],
];

/** Columns that hold whole chats. */
export const CHAT_NAMES: ReadonlySet<string> = new Set([
  ...['turns', 'messages', 'conversations', 'conversation', 'dialogue', 'dialog', 'chat'],
]);

export const isPromptName = (name: string) => PROMPT_NAMES.includes(name.trim().toLowerCase());
export const isChatName = (name: string) => CHAT_NAMES.has(name.trim().toLowerCase());
