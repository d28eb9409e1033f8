-- Who said who somebody at the console is: a provider of OpenID Connect, or nobody but the one-time
-- address. The previous release writes none and knows no other.
ALTER TABLE console_sessions ADD COLUMN issuer TEXT;
