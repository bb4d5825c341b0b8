// The browser of a user: keeps cookies and goes where it is sent.

const MOST = 10; // redirects

export class Browser {
  #cookies = new Map();

  #fetch;

  constructor(fetch) {
    this.#fetch = fetch;
  }

  // visit returns the URL below callback that it is sent to in the end.
  async visit(start, callback) {
    let url = new URL(start);
    for (let i = 0; i < MOST; i += 1) {
      const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ');
      const answer = await this.#fetch(url, { headers: cookie ? { cookie } : {} });
      this.#keep(answer.headers.getSetCookie());
      const location = answer.headers.get('location');
      if (!location) throw new Error(`${url.pathname}: ${answer.status} ${await answer.text()}`);
      url = new URL(location, url);
      if (url.href.startsWith(callback)) return url;
    }
    throw new Error(`more than ${MOST} redirects`);
  }

  // All cookies go everywhere: there is one server only.
  #keep(lines) {
    for (const line of lines) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      if (value === '') this.#cookies.delete(name);
      else this.#cookies.set(name, value);
    }
  }
}
