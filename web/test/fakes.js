/** A clock that only moves when told to, and WebSockets whose other end is the test. */

export class FakeClock {
  time = 1_000_000;
  #next = 1;
  #timers = new Map();

  now = () => this.time;

  setTimeout = (run, ms) => {
    const id = this.#next;
    this.#next += 1;
    this.#timers.set(id, { at: this.time + ms, run });
    return id;
  };

  clearTimeout = (id) => void this.#timers.delete(id);

  /** Runs everything due within the next `ms`, in order. */
  pass(ms) {
    const end = this.time + ms;
    for (;;) {
      const due = [...this.#timers].filter(([, { at }]) => at <= end).sort(([, one], [, other]) => one.at - other.at)[0];
      if (due === undefined) break;
      this.#timers.delete(due[0]);
      this.time = Math.max(this.time, due[1].at);
      due[1].run();
    }
    this.time = end;
  }

  /** The machine sleeps: time goes on and no timer runs. */
  sleep(ms) {
    this.time += ms;
  }

  get pending() {
    return this.#timers.size;
  }
}

/** @returns {{WebSocket: any, sockets: any[], readonly last: any}} a class, and what was made of it */
export function fakeSockets() {
  const sockets = [];
  class FakeSocket {
    sent = [];
    closed = null;

    constructor(url, protocols) {
      Object.assign(this, { url, protocols });
      sockets.push(this);
    }

    send(text) {
      this.sent.push(JSON.parse(text));
    }

    close(code, reason) {
      this.closed = { code, reason };
    }

    accept() {
      this.onopen?.();
    }

    say(frame) {
      this.onmessage?.({ data: typeof frame === 'string' ? frame : JSON.stringify(frame) });
    }

    end(code = 1006, reason = '') {
      this.onclose?.({ code, reason });
    }

    /** Commands of one kind that were received. */
    got(op) {
      return this.sent.filter((frame) => frame.op === op);
    }

    /** Answers the newest command of one kind. */
    reply(op, ok) {
      this.say({ re: this.got(op).at(-1).id, ok });
    }
  }
  return {
    WebSocket: FakeSocket,
    sockets,
    get last() {
      return sockets.at(-1);
    },
  };
}
