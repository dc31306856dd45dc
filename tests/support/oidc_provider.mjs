// An independent OpenID Connect issuer: npm's oidc-provider with clients of a machine, a command line and a console.
// CONSOLE_CALLBACK is the console's redirect URI. Prints the issuer's URL.
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(url, {
    clients: [
      {
        client_id: "robot",
        client_secret: "a-secret-of-the-tests",
        grant_types: ["client_credentials"],
        redirect_uris: [],
        response_types: [],
      },
      {
        client_id: "flowpin-cli",
        application_type: "native",
        token_endpoint_auth_method: "none",
        grant_types: ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
        redirect_uris: ["http://127.0.0.1/callback"],
        response_types: ["code"],
      },
      {
        client_id: "flowpin-console",
        client_secret: "a secret: of the console",
        grant_types: ["authorization_code", "refresh_token"],
        redirect_uris: [process.env.CONSOLE_CALLBACK],
        response_types: ["code"],
      },
    ],
    features: {
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, resource, client) => ({
          audience: client.clientId === "robot" ? new URL(resource).host : resource,
          scope: "",
          accessTokenFormat: "jwt",
        }),
      },
    },
  });
  server.on("request", provider.callback());
  console.log(url);
});
