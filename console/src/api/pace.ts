/** Reading again, in measure: one reading at a time, with a pause between, however often it is asked for. */

export const PAUSE_MS = 250;

export class Pace {
  private isRunning = false;
  private isWanted = false;
  private isOver = false;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly run: () => Promise<void>,
    private readonly pauseMs = PAUSE_MS,
  ) {}

  /** As soon as it may be: at once, or when the reading under way is over and the pause with it. */
  ask(): void {
    if (this.isOver) return;
    this.isWanted = true;
    if (!this.isRunning && this.timer === undefined) void this.go();
  }

  end(): void {
    this.isOver = true;
    clearTimeout(this.timer);
  }

  private async go(): Promise<void> {
    this.isWanted = false;
    this.isRunning = true;
    try {
      await this.run();
    } finally {
      this.isRunning = false;
    }
    if (this.isOver) return;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      if (this.isWanted) void this.go();
    }, this.pauseMs);
  }
}
