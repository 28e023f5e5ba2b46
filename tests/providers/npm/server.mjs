// npm's oidc-provider over https. `node server.mjs SETTINGS`: a JSON file with host, port, files of certificate, key and
// ca, clients, keys (private JWKs), the kid of the one that signs, how long access tokens live, and whether proofs need a
// nonce. SIGHUP: read it again, and go on with its keys and clients.
import fs from 'node:fs';
import https from 'node:https';
import { Provider } from 'oidc-provider';

const path = process.argv[2];
const read = () => JSON.parse(fs.readFileSync(path, 'utf8'));

function handler(settings) {
  const signing = settings.keys.find((key) => key.kid === settings.signs);
  const provider = new Provider(settings.issuer, {
    clients: settings.clients,
    // It asks for this of every client, although these get no ID tokens.
    clientDefaults: { id_token_signed_response_alg: signing.alg },
    scopes: ['openid', 'offline_access', 'ml:infer', 'ml:read'],
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'tls_client_auth', 'none'],
    cookies: { keys: ['of one test'] },
    rotateRefreshToken: true,
    jwks: { keys: settings.keys },
    features: {
      // Pages where anybody logs in with any password.
      devInteractions: { enabled: true },
      deviceFlow: { enabled: true },
      revocation: { enabled: true },
      dPoP: { enabled: true, nonceSecret: Buffer.alloc(32, 1), requireNonce: () => settings.nonces },
      clientCredentials: { enabled: true },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        tlsClientAuth: true,
        certificateAuthorized: (ctx) => ctx.req.socket.authorized,
        certificateSubjectMatches: (ctx, property, expected) =>
          property === 'tls_client_auth_san_uri' &&
          ctx.req.socket.getPeerX509Certificate().subjectAltName.split(', ').includes(`URI:${expected}`),
        getCertificate: (ctx) => ctx.req.socket.getPeerX509Certificate(),
      },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (ctx, resource) => ({
          scope: 'ml:infer ml:read',
          audience: new URL(resource).hostname.split('.')[0],
          accessTokenFormat: 'jwt',
          accessTokenTTL: settings.lifetime,
          jwt: { sign: { alg: signing.alg, kid: signing.kid } },
        }),
      },
    },
  });
  return provider.callback();
}

const settings = read();
let current = handler(settings);
process.on('SIGHUP', () => {
  current = handler(read());
  console.log('read again');
});
const options = {
  cert: fs.readFileSync(settings.certificate),
  key: fs.readFileSync(settings.key),
  ca: fs.readFileSync(settings.ca),
  requestCert: true,
  rejectUnauthorized: false,
};
https.createServer(options, (req, res) => current(req, res)).listen(settings.port, settings.host, () => {
  console.log('listening');
});
