/** New tokens as text while they come; a character that is not complete yet waits for its rest. */
export class StreamedText {
  /** The text so far. */
  text = '';
  private readonly tokens: number[] = [];

  constructor(
    private readonly decode: (tokens: readonly number[]) => string,
    /** Hears the whole text so far whenever it has grown. */
    private readonly onText: (soFar: string) => void,
  ) {}

  /** New tokens so far, stop token included. */
  get count(): number {
    return this.tokens.length;
  }

  push(tokens: readonly number[]): void {
    this.tokens.push(...tokens);
    const whole = this.decode(this.tokens);
    if (!whole.endsWith('\uFFFD')) this.emit(whole);
  }

  /** No token follows. */
  finish(): void {
    this.emit(this.decode(this.tokens));
  }

  private emit(whole: string): void {
    if (whole === this.text) return;
    this.text = whole;
    this.onText(whole);
  }
}
