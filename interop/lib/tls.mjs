// A certificate authority of our own and a certificate for loopback, made by openssl for one test run.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from './process.mjs';

const EXTENSIONS = `
[ca]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
[server]
basicConstraints = CA:false
subjectAltName = DNS:localhost, IP:127.0.0.1
extendedKeyUsage = serverAuth
`;

/** An empty folder that goes away with the test. */
export async function folder(t) {
  const path = await mkdtemp(join(tmpdir(), 'fdx-interop-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** Returns the paths of `ca`, `cert` and `key`, and the certificate's key hash as Chromium wants it. */
export async function certificates(t) {
  const cwd = await folder(t);
  await writeFile(join(cwd, 'extensions.cnf'), EXTENSIONS);
  const openssl = (...args) => run(t, 'openssl', args, { cwd });
  const newKey = ['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await openssl(...newKey, '-subj', '/CN=fullduplex test CA', '-keyout', 'ca.key', '-out', 'ca.csr');
  await openssl('x509', '-req', '-in', 'ca.csr', '-signkey', 'ca.key', '-days', '2', '-extfile', 'extensions.cnf', '-extensions', 'ca', '-out', 'ca.pem');
  await openssl(...newKey, '-subj', '/CN=localhost', '-keyout', 'server.key', '-out', 'server.csr');
  await openssl(
    ...['x509', '-req', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2'],
    ...['-extfile', 'extensions.cnf', '-extensions', 'server', '-out', 'server.pem'],
  );
  await openssl('x509', '-in', 'server.pem', '-pubkey', '-noout', '-out', 'server.pub');
  await openssl('pkey', '-pubin', '-in', 'server.pub', '-outform', 'der', '-out', 'server.der');
  await openssl('dgst', '-sha256', '-binary', '-out', 'server.sha256', 'server.der');
  const at = (name) => join(cwd, name);
  return { ca: at('ca.pem'), cert: at('server.pem'), key: at('server.key'), spki: (await readFile(at('server.sha256'))).toString('base64') };
}
