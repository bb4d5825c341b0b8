// A steady stream of requests of which every answer is known in advance.

import { send } from './http.js';

const IN_FLIGHT = 64;

export class Load {
  counts = {}; // answers by kind and status
  wrong = []; // answers that should not have been
  judged = 0;
  allowed = 0; // answers that were 200
  crossed = 0; // answers of which two would have been right
  #sent = 0;
  #flying = new Set();

  // mix is called for every request, and returns { kind, url, headers, method,
  // expect } or a promise of it. expect(answer, sentAt) says whether the answer
  // is right; times are of performance.now().
  constructor({ rate, most, mix }) {
    Object.assign(this, { rate, most, mix });
  }

  start() {
    this.began = performance.now();
    this.timer = setInterval(() => {
      const due = Math.min(this.most, Math.floor((performance.now() - this.began) * this.rate / 1000));
      while (this.#sent < due && this.#flying.size < IN_FLIGHT) {
        this.#sent += 1;
        this.go(this.mix(this.#sent));
      }
      // What could not be sent in time is not made up for in a burst.
      if (this.#sent < due) this.began = performance.now() - (this.#sent / this.rate) * 1000;
    }, 5);
  }

  // go sends one request beside the stream, and returns its answer.
  go(request) {
    const flight = this.#judge(request);
    this.#flying.add(flight);
    flight.finally(() => this.#flying.delete(flight)).catch(() => {});
    return flight;
  }

  async #judge(made) {
    let kind = 'unmade';
    try {
      const request = await made;
      kind = request.kind;
      const sentAt = performance.now();
      const answer = await send(request);
      this.judged += 1;
      if (answer.status === 200) this.allowed += 1;
      const key = `${kind} ${answer.status}`;
      this.counts[key] = (this.counts[key] ?? 0) + 1;
      if (!request.expect(answer, sentAt)) {
        this.wrong.push({ kind, status: answer.status, challenges: answer.challenges, body: answer.body, at: Math.round(sentAt - this.began) });
      }
      return answer;
    } catch (error) {
      this.wrong.push({ kind, error: `${error}` });
      throw error;
    }
  }

  // settled waits for everything now in flight.
  async settled() {
    await Promise.allSettled([...this.#flying]);
  }

  async stop() {
    clearInterval(this.timer);
    await this.settled();
    return { requests: this.judged, perSecond: Math.round(this.judged / ((performance.now() - this.began) / 1000)) };
  }
}
