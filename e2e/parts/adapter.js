// What an authorization server remembers, for as long as its process lives:
// oidc-provider's own memory begins anew with every Provider.

const remembered = new Map();

export class Adapter {
  constructor(model) {
    this.key = (id) => `${model}:${id}`;
  }

  async upsert(id, payload) { remembered.set(this.key(id), payload); }

  async find(id) { return remembered.get(this.key(id)); }

  async destroy(id) { remembered.delete(this.key(id)); }
}
