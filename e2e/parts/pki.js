// Keys and certificates of one run, made by openssl. They end after a day.

import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

// Identity is a certificate and its key: as PEM, as names of files, and as the
// JWK that a client registers (RFC 8705 section 2.2.2).
class Identity {
  constructor(certFile, keyFile) {
    Object.assign(this, { certFile, keyFile });
    this.cert = readFileSync(certFile, 'utf8');
    this.key = readFileSync(keyFile, 'utf8');
  }

  get jwk() {
    const { publicKey, raw } = new X509Certificate(this.cert);
    return { ...publicKey.export({ format: 'jwk' }), x5c: [raw.toString('base64')] };
  }

  get der() {
    return new X509Certificate(this.cert).raw;
  }
}

// Registrar keeps an authority, and makes certificates of it and of nobody.
export class Registrar {
  static async start(folder) {
    const registrar = new Registrar();
    registrar.folder = join(folder, 'pki');
    mkdirSync(registrar.folder);
    // The system's configuration would add extensions of its own.
    writeFileSync(join(registrar.folder, 'openssl.cnf'), '[req]\ndistinguished_name = dn\n[dn]\n');
    registrar.authority = await registrar.#make('authority', ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign'], []);
    return registrar;
  }

  // server makes a certificate of 127.0.0.1 that the authority vouches for.
  server(name) {
    const { certFile, keyFile } = this.authority;
    return this.#make(name, ['basicConstraints=critical,CA:FALSE', 'subjectAltName=IP:127.0.0.1'], ['-CA', certFile, '-CAkey', keyFile]);
  }

  // client makes a certificate that nobody vouches for.
  client(name) {
    return this.#make(name, ['basicConstraints=critical,CA:FALSE', 'extendedKeyUsage=clientAuth'], []);
  }

  async #make(name, extensions, more) {
    const [certFile, keyFile] = ['crt', 'key'].map((kind) => join(this.folder, `${name}.${kind}`));
    await run('openssl', [
      'req', '-x509', '-config', join(this.folder, 'openssl.cnf'), '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
      '-keyout', keyFile, '-out', certFile, '-days', '1', '-subj', `/CN=${name}`,
      ...extensions.flatMap((extension) => ['-addext', extension]), ...more,
    ], { timeout: 10_000 });
    return new Identity(certFile, keyFile);
  }
}
