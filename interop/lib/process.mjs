// Starts the programs under test and ends exactly those, by their ids.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect as dial, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';

/** The folder that holds the whole project. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** The binary under test. */
export const FDX = process.env.FDX ?? `${ROOT}target/release/fdx`;
/** Milliseconds for anything that should happen at once; generous, because CI machines are slow. */
export const SOON = 60_000;

/** A child process whose output can be waited for. */
export class Program {
  stdout = '';
  stderr = '';
  #child;
  #exit;
  #changed = () => {};

  /**
   * @param {string} command
   * @param {string[]} args
   * @param {import('node:child_process').SpawnOptions} [options]
   */
  constructor(command, args, options = {}) {
    this.name = [command.split('/').at(-1), ...args].join(' ');
    this.#child = spawn(command, args, { stdio: 'pipe', ...options });
    this.#exit = new Promise((resolve) => {
      this.#child.once('error', (error) => resolve({ code: null, signal: null, error }));
      this.#child.once('close', (code, signal) => resolve({ code, signal }));
    }).then((exit) => {
      this.exited = exit;
      this.#changed();
      return exit;
    });
    this.#collect('stdout');
    this.#collect('stderr');
    this.#child.stdin?.on('error', () => {}); // a program that has ended reads no more
  }

  #collect(stream) {
    this.#child[stream].setEncoding('utf8').on('data', (text) => {
      this[stream] += text;
      this.#changed();
    });
  }

  get pid() {
    return this.#child.pid;
  }

  /** Everything that was printed, for messages about failures and for lines whose stream does not matter. */
  get output() {
    return this.stdout + this.stderr;
  }

  /** Writes to the program's standard input. */
  write(text) {
    this.#child.stdin.write(text);
  }

  /** Ends the program's standard input. */
  end(text = '') {
    this.#child.stdin.end(text);
  }

  /** Waits until `condition()` gives something true and returns it. */
  async until(condition, what) {
    const deadline = Date.now() + SOON;
    for (;;) {
      const found = condition();
      if (found) return found;
      if (this.exited || Date.now() > deadline) {
        const state = this.exited ? `ended with ${JSON.stringify(this.exited)}` : 'is still running';
        throw new Error(`${this.name}: no ${what}; it ${state} and printed:\n${this.output}`);
      }
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, deadline - Date.now() + 1);
        this.#changed = () => (clearTimeout(timer), resolve());
      });
    }
  }

  /** Waits for output that matches and returns the match. */
  match(pattern) {
    return this.until(() => this.output.match(pattern), `output like ${pattern}`);
  }

  /** Waits for the end; `code` is null after a signal. */
  async exit() {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${this.name} does not end; it printed:\n${this.output}`)), SOON);
    });
    return Promise.race([this.#exit, late]).finally(() => clearTimeout(timer));
  }

  signal(name) {
    this.#child.kill(name);
  }

  /** Ends the program, politely first. */
  async stop() {
    if (this.exited) return;
    this.signal('SIGTERM');
    const timer = setTimeout(() => this.signal('SIGKILL'), 6_000);
    await this.#exit;
    clearTimeout(timer);
  }
}

/** Starts a program that the test `t` ends, whatever happens. */
export function start(t, command, args, options) {
  const program = new Program(command, args, options);
  t.after(() => program.stop());
  return program;
}

/**
 * Starts `fdx serve`, `fdx tail` or `fdx echo` on a free port. The result's `url` is what it says it listens on,
 * `ws` and `http` are the same with these schemes.
 */
export async function listen(t, command, ...args) {
  const port = args.includes('--listen') ? [] : ['--listen', '127.0.0.1:0'];
  // Rooms are on disk only where a test names a folder.
  const store = command === 'serve' && !args.includes('--data') ? ['--memory'] : [];
  const program = start(t, FDX, [command, ...port, ...store, ...args]);
  const [, url] = await program.until(() => program.stdout.match(/^listening on (\S+)$/m), 'listening line');
  program.url = url;
  program.ws = url.replace(/^http/, 'ws');
  program.http = url.replace(/^ws/, 'http');
  program.port = Number(new URL(url).port);
  return program;
}

/** Runs `fdx connect` in a pipe, with `input` as all there is to read. */
export async function connect(t, args, input = '') {
  const program = start(t, FDX, ['connect', ...args]);
  program.end(input);
  program.result = await program.exit();
  return program;
}

/** Runs another program to its end and fails unless it ends well. */
export async function run(t, command, args, options) {
  const program = start(t, command, args, options);
  program.end();
  const { code } = await program.exit();
  if (code !== 0) throw new Error(`${program.name} ended with ${code}:\n${program.output}`);
  return program;
}

/** `once` that does not wait for ever. */
export async function soon(emitter, event) {
  return once(emitter, event, { signal: AbortSignal.timeout(SOON) });
}

/** A port that nobody listens on; for programs that cannot be told to take any. */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await soon(server, 'listening');
  const { port } = server.address();
  server.close();
  await soon(server, 'close');
  return port;
}

/** Waits until a program accepts connections. */
export async function accepts(program, port) {
  const deadline = Date.now() + SOON;
  for (;;) {
    const socket = dial(port, '127.0.0.1');
    const accepted = await new Promise((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    socket.destroy();
    if (accepted) return;
    if (program.exited || Date.now() > deadline) throw new Error(`${program.name} does not listen:\n${program.output}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
