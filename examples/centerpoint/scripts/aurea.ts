// The protocol between a sync script and Aurea, for Deno and for Node. Copy this file beside your own scripts.
// Each line is one JSON object: the script's on standard output, Aurea's answers on standard input.
import process from "node:process";

export interface Task<Input, State> {
  readonly id: string;
  /** Counts from 1. */
  readonly attempt: number;
  readonly input: Input;
  /** The last checkpoint of an earlier attempt: go on from there. */
  readonly checkpoint: State | null;
}

const say = (line: unknown) => console.log(JSON.stringify(line));
const buffer = new Uint8Array(65_536);
let incoming: AsyncIterator<Uint8Array> | undefined;
const decoder = new TextDecoder();
let unread = "";
let handedOver = 0;

/** The first call of a script. */
export async function start<Input, State>(): Promise<Task<Input, State>> {
  const { task_id, attempt, input, checkpoint } = await hear();
  return { id: task_id, attempt, input, checkpoint } as Task<Input, State>;
}

/** Everything so far is done: returns once Aurea has kept the state, and the next attempt begins with it. */
export async function checkpoint(state: unknown): Promise<void> {
  say({ type: "checkpoint", state });
  handedOver += 1;
  while ((await hear()).number !== handedOver);
}

export const progress = (fraction: number, text = "") => say({ type: "progress", fraction, text });

export const log = (text: string, fields: Record<string, unknown> = {}, level = "info") =>
  say({ type: "log", text, level, fields });

export const result = (value: unknown) => say({ type: "result", value });

/** Gives up: the script is ended. Without `retry` the task fails for good. */
export async function fail(message: string, options: { retry?: boolean; after_seconds?: number } = {}): Promise<never> {
  say({ type: "failure", message, retry: false, ...options });
  for (;;) await hear();
}

/** A variable that the manifest declares. */
export function variable(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not declared in the manifest of this script`);
  return value;
}

// deno-lint-ignore no-explicit-any
async function hear(): Promise<any> {
  while (!unread.includes("\n")) unread += decoder.decode(await receive(), { stream: true });
  const end = unread.indexOf("\n");
  const line = unread.slice(0, end);
  unread = unread.slice(end + 1);
  return JSON.parse(line);
}

// Listens only while an answer is expected: an open input must not keep a script alive that has ended.
async function receive(): Promise<Uint8Array> {
  if (typeof Deno !== "undefined") {
    const count = await Deno.stdin.read(buffer);
    return count === null ? process.exit(1) : buffer.subarray(0, count); // null: Aurea is gone
  }
  incoming ??= process.stdin[Symbol.asyncIterator]();
  process.stdin.ref();
  const { value, done } = await incoming.next();
  process.stdin.unref();
  return done ? process.exit(1) : value;
}
