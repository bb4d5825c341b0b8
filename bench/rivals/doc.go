// Package rivals runs what Debian ships to guard an API with: HAProxy, Apache
// with mod_oauth2, Apache with mod_auth_openidc, and nginx as a floor. Each is
// configured to check as much as it can, and each is tried out: what it lets
// through is found by sending it, never assumed.
package rivals
