// npm's oidc-provider over https. `node server.mjs SETTINGS`: a JSON file with host, port, files of certificate, key and
// ca, clients, keys (private JWKs) and the kid of the one that signs. SIGHUP: read it again, and go on with its keys.
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
    scopes: ['ml:infer', 'ml:read'],
    jwks: { keys: settings.keys },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        getCertificate: (ctx) => ctx.req.socket.getPeerX509Certificate(),
      },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (ctx, resource) => ({
          scope: 'ml:infer ml:read',
          audience: new URL(resource).hostname.split('.')[0],
          accessTokenFormat: 'jwt',
          accessTokenTTL: 300,
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
