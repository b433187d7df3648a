/** The newest things, up to a bound: what is older is forgotten. */
export class Ring<T> {
  readonly #most: number;
  #held: T[] = [];
  /** How many were forgotten. */
  forgotten = 0;

  constructor(most: number) {
    this.#most = most;
  }

  add(more: T[]): void {
    if (more.length === 0) return;
    const all = this.#held.concat(more);
    const over = Math.max(0, all.length - this.#most);
    this.forgotten += over;
    this.#held = over > 0 ? all.slice(over) : all;
  }

  /** The oldest first. Another array after each change. */
  get all(): readonly T[] {
    return this.#held;
  }

  clear(): void {
    this.#held = [];
    this.forgotten = 0;
  }
}
