-- auth.jwt_sign and auth.jwt_verify: pgjwt's tokens, other algorithms, and the
-- attacks on token libraries (the checklist's section 4.2), each by its name.
-- The keys are those of RFC 7515 A.1 to A.3 and RFC 8037 A.1.

BEGIN;
SELECT plan(234);

CREATE TEMP TABLE key (name text PRIMARY KEY, value text);
INSERT INTO key VALUES
    ('rsa', '-----BEGIN PRIVATE KEY-----
MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCh+BYK4uPJtGXO
jS1lYmM2K5J9vinh8CR3/BYlzJChNuOL2TSXxbbqY913EeZ8dCn5VrD7io8ImtxL
aYk8wTM/U+3QGbh3hCUv7JFP5IV3aVlL6kKA0ywPVb9ilE8TA5a8bpvfbr3SvaNn
juygxmj3AbONv/s4yDQs4v5tJ/reSlpIdJed1LnPmt7Ex1sFhSwsD174pcF1A5L5
ROjtZMEQxrZHYJqkeDrrnGya11UxMFBji4NmXG9veoKjlnAqH2QbgtPr8jkiGUkf
toaHLFcW9Qr4NY2ai50Xw0Byj3+H2JoY2PyrZ62EWQwuz3WTOTY8BwNNb2BvniHg
VFbK5emhAgMBAAECggEAEq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyW
PEAeP88vLNO97IjlA7/GQ5sLKMgvfTeXZx9SE+7YwVol2NXOoAJe46sui395IW/G
O+pWJ1O0BkTGoVEn2bKVRUCgu+GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzj
kn439X0M/V51gfpRLI9JYanrC4D4qAdGcopV/0ZHHzQlBjudU2QvXt4ehNYTCBr6
XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl/x/jTj3ccPDVZFD9pIuhLhBOneufuBiB
4cS98l2SR/RQyGWSeWjnczT0QU91p1DhOVRuOopznQKBgQDgHMQQ60imZV1URk0K
pLttoLhyt3SmqdEf/kgHePDdtzEafpAu+cS191R2JiuoF2yzWXnwFDcqGigp5BNr
0AHQfD8/Lk8l1Mk09jxxCfui5nYooNyac8YFjm3vItzVCVDnEd3BbVWG8qf6deqE
lMGAg+C2V0L4oNXnP7LZcPAZRwKBgQC5A8R+CZW2MvRTLLHzwZkUXV866cff7tx6
kqa0finGG0KgeqlaZPxgCZnFp7AeAcCMtiynVlJ7vMVgePsLq6XtON4tB5kP9jAP
rq3rbAOal78eUH5OcED6eNuCV8ixEu1eWcPNCS/l1OW1EnXUEoEHKl54Xrrz2uNw
kgMTP1FZ1wKBgAcCn1dwJKufzBWQxWQp1vsM5fggqPN1qGb5y0MAk3g7/Ls5bkUp
5u9SN0Ai3Ya6hNnvWJMb7sXQX6U/zyO2M/hTip7tUeh7CXgwo59dkpN75gJLVds2
9+DAncu3KXU4f2Fa+7bLNrur53k8KwPOq2bbuTG69QtV7Jr5MR0AHWKNAoGBAIf/
evpitUf+4JYbLpvNXWcY052Mpz22aR84mY3nh3F2LF2mjMJDpTg7FmuyPcVw6EcG
yoAe9fa65iNqCq+jdw6PVNGo2hxfjSiZ8IIzHdsPXI89//pMjZcQK9r+CCoRjaZj
OYiIDktVWZzmevJuv6WywUqd57LE3Zar3dLSIkx1AoGAIYd7DHOhrWvxkwPQsRM2
tOgrjbcrfvtQJipd+DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd/QJQ3
ydy5cY7YIBi87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp/gh6A56
03k2+ZQwVK0JKSHuLFkuQ3U=
-----END PRIVATE KEY-----'),
    ('rsa pkcs1', '-----BEGIN RSA PRIVATE KEY-----
MIIEowIBAAKCAQEAofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd/wWJcyQoTbji9k0
l8W26mPddxHmfHQp+Vaw+4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL+yRT+SFd2lZS+pC
gNMsD1W/YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb/7OMg0LOL+bSf63kpaSHSX
ndS5z5rexMdbBYUsLA9e+KXBdQOS+UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uD
Zlxvb3qCo5ZwKh9kG4LT6/I5IhlJH7aGhyxXFvUK+DWNmoudF8NAco9/h9iaGNj8
q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQIDAQABAoIBABKucaRpzQorw35S
bEUAVx8dYXUdZOlJcHtiWQ+dC6V8ljxAHj/PLyzTveyI5QO/xkObCyjIL303l2cf
UhPu2MFaJdjVzqACXuOrLot/eSFvxjvqVidTtAZExqFRJ9mylUVAoLvhowVWmC1O
n95fZCXxTUtxNEG1Xcc7m0rtzJKs45J+N/V9DP1edYH6USyPSWGp6wuA+KgHRnKK
Vf9GRx80JQY7nVNkL17eHoTWEwga+lwi0FEoW9Y7lDtWXYmKBWhUE+U8PGxlJf8f
40493HDw1WRQ/aSLoS4QTp3rn7gYgeHEvfJdkkf0UMhlknlo53M09EFPdadQ4TlU
bjqKc50CgYEA4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH/5IB3jw3bcxGn6QLvnE
tfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw/Py5PJdTJNPY8cQn7ouZ2KKDcmnPG
BY5t7yLc1QlQ5xHdwW1VhvKn+nXqhJTBgIPgtldC+KDV5z+y2XDwGUcCgYEAuQPE
fgmVtjL0Uyyx88GZFF1fOunH3+7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYs
p1ZSe7zFYHj7C6ul7TjeLQeZD/YwD66t62wDmpe/HlB+TnBA+njbglfIsRLtXlnD
zQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdcCgYAHAp9XcCSrn8wVkMVkKdb7
DOX4IKjzdahm+ctDAJN4O/y7OW5FKebvUjdAIt2GuoTZ71iTG+7F0F+lP88jtjP4
U4qe7VHoewl4MKOfXZKTe+YCS1XbNvfgwJ3Ltyl1OH9hWvu2yza7q+d5PCsDzqtm
27kxuvULVeya+TEdAB1ijQKBgQCH/3r6YrVH/uCWGy6bzV1nGNOdjKc9tmkfOJmN
54dxdixdpozCQ6U4OxZrsj3FcOhHBsqAHvX2uuYjagqvo3cOj1TRqNocX40omfCC
Mx3bD1yPPf/6TI2XECva/ggqEY2mYzmIiA5LVVmc5nrybr+lssFKneeyxN2Wq93S
0iJMdQKBgCGHewxzoa1r8ZMD0LETNrToK423K377UCYqXfg5XMclbrjPbEC3YI1Z
NqMtuhdBJqUnBi6tjKMF+34Xf0CUN8ncuXGO2CAYvO8PdyCixHX52ybaDjy1FtCE
6yUXjoKNXKvUm7MWGsAYH6f4IegOetN5NvmUMFStCSkh7ixZLkN1
-----END RSA PRIVATE KEY-----'),
    ('rsa public', '-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAofgWCuLjybRlzo0tZWJj
NiuSfb4p4fAkd/wWJcyQoTbji9k0l8W26mPddxHmfHQp+Vaw+4qPCJrcS2mJPMEz
P1Pt0Bm4d4QlL+yRT+SFd2lZS+pCgNMsD1W/YpRPEwOWvG6b32690r2jZ47soMZo
9wGzjb/7OMg0LOL+bSf63kpaSHSXndS5z5rexMdbBYUsLA9e+KXBdQOS+UTo7WTB
EMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6/I5IhlJH7aGhyxX
FvUK+DWNmoudF8NAco9/h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXp
oQIDAQAB
-----END PUBLIC KEY-----'),
    ('rsa pkcs1 public', '-----BEGIN RSA PUBLIC KEY-----
MIIBCgKCAQEAofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd/wWJcyQoTbji9k0l8W2
6mPddxHmfHQp+Vaw+4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL+yRT+SFd2lZS+pCgNMs
D1W/YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb/7OMg0LOL+bSf63kpaSHSXndS5
z5rexMdbBYUsLA9e+KXBdQOS+UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxv
b3qCo5ZwKh9kG4LT6/I5IhlJH7aGhyxXFvUK+DWNmoudF8NAco9/h9iaGNj8q2et
hFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQIDAQAB
-----END RSA PUBLIC KEY-----'),
    ('ec', '-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjpsQnnGQmL+YBIff
H1136cspYG6+0iY7X1fCE9+E9LKhRANCAAR/zc4ncPbEXUGDy+5v20t7WAczNXvp
7xO6z248e9FURcfxRM0bvZt+hyzf7bnuufSzaV1uqQskrYpGIyiFiOWt
-----END PRIVATE KEY-----'),
    ('ec sec1', '-----BEGIN EC PRIVATE KEY-----
MHcCAQEEII6bEJ5xkJi/mASH3x9dd+nLKWBuvtImO19XwhPfhPSyoAoGCCqGSM49
AwEHoUQDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEXH8UTNG72b
focs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==
-----END EC PRIVATE KEY-----'),
    ('ec public', '-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7
6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==
-----END PUBLIC KEY-----'),
    ('ed', '-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----'),
    ('ed public', '-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----'),
    ('rsa jwk', '{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB","d":"Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ","p":"4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc","q":"uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc","dp":"BwKfV3Akq5_MFZDFZCnW-wzl-CCo83WoZvnLQwCTeDv8uzluRSnm71I3QCLdhrqE2e9YkxvuxdBfpT_PI7Yz-FOKnu1R6HsJeDCjn12Sk3vmAktV2zb34MCdy7cpdTh_YVr7tss2u6vneTwrA86rZtu5Mbr1C1XsmvkxHQAdYo0","dq":"h_96-mK1R_7glhsum81dZxjTnYynPbZpHziZjeeHcXYsXaaMwkOlODsWa7I9xXDoRwbKgB719rrmI2oKr6N3Do9U0ajaHF-NKJnwgjMd2w9cjz3_-kyNlxAr2v4IKhGNpmM5iIgOS1VZnOZ68m6_pbLBSp3nssTdlqvd0tIiTHU","qi":"IYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd-DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd_QJQ3ydy5cY7YIBi87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp_gh6A5603k2-ZQwVK0JKSHuLFkuQ3U"}'),
    ('rsa public jwk', '{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}'),
    ('ec jwk', '{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}'),
    ('ec public jwk', '{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}'),
    ('ed jwk', '{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}'),
    ('ed public jwk', '{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}'),
    ('oct jwk', '{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}');

CREATE FUNCTION pg_temp.key(name text) RETURNS text LANGUAGE sql AS
$$ SELECT value FROM key WHERE key.name = $1 $$;

CREATE FUNCTION pg_temp.b64u(bytes bytea) RETURNS text LANGUAGE sql AS
$$ SELECT translate(encode(bytes, 'base64'), E'+/=\n', '-_') $$;

CREATE FUNCTION pg_temp.unb64u(segment text) RETURNS bytea LANGUAGE sql AS
$$ SELECT decode(rpad(translate(segment, '-_', '+/'), (length(segment) + 3) / 4 * 4, '='), 'base64') $$;

-- RFC 2104, for secrets of at most 64 bytes.
CREATE FUNCTION pg_temp.hmac(message bytea, secret bytea) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    inner_pad bytea := decode(repeat('36', 64), 'hex');
    outer_pad bytea := decode(repeat('5c', 64), 'hex');
BEGIN
    FOR i IN 0 .. length(secret) - 1 LOOP
        inner_pad := set_byte(inner_pad, i, get_byte(inner_pad, i) # get_byte(secret, i));
        outer_pad := set_byte(outer_pad, i, get_byte(outer_pad, i) # get_byte(secret, i));
    END LOOP;
    RETURN sha256(outer_pad || sha256(inner_pad || message));
END
$$;

-- A token with any header and payload, rightly signed: whoever has the secret
-- can make it, and what is refused of it is refused for what it says.
CREATE FUNCTION pg_temp.forge(header text, payload text = '{"sub":"1"}') RETURNS text LANGUAGE sql AS $$
    SELECT signed || '.' || pg_temp.b64u(pg_temp.hmac(convert_to(signed, 'UTF8'), 'secret'))
      FROM (SELECT pg_temp.b64u(convert_to(header, 'UTF8')) || '.' || pg_temp.b64u(convert_to(payload, 'UTF8'))) AS s (signed)
$$;

CREATE FUNCTION pg_temp.valid(token text, secret text = 'secret', algorithm text = 'HS256') RETURNS boolean LANGUAGE sql AS
$$ SELECT valid FROM auth.jwt_verify(token, secret, algorithm) $$;

-- A good token with its signature replaced.
CREATE FUNCTION pg_temp.with_signature(token text, signature bytea) RETURNS text LANGUAGE sql AS
$$ SELECT split_part(token, '.', 1) || '.' || split_part(token, '.', 2) || '.' || pg_temp.b64u(signature) $$;

-- n - s of P-256, and S + L of Ed25519 (little-endian).
CREATE FUNCTION pg_temp.n_minus(s bytea) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    n bytea := '\xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551';
    digit int;
    borrow int := 0;
BEGIN
    FOR i IN REVERSE 31 .. 0 LOOP
        digit := get_byte(n, i) - get_byte(s, i) - borrow;
        borrow := (digit < 0)::int;
        n := set_byte(n, i, digit + 256 * borrow);
    END LOOP;
    RETURN n;
END
$$;

CREATE FUNCTION pg_temp.plus_l(s bytea) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    l bytea := '\xedd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010';
    digit int := 0;
BEGIN
    FOR i IN 0 .. 31 LOOP
        digit := digit + get_byte(s, i) + get_byte(l, i);
        s := set_byte(s, i, digit % 256);
        digit := digit / 256;
    END LOOP;
    RETURN s;
END
$$;

SELECT is(auth.jwt_sign('{"sub":"1234567890","name":"John Doe","admin":true}', 'secret'), 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ', 'pgjwt: sign, the algorithm by default');
SELECT is(auth.jwt_sign('{"sub":"1234567890","name":"John Doe","admin":true}', 'secret', 'HS256'), 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ', 'pgjwt: sign HS256 byte for byte');
SELECT results_eq(
    $$ SELECT header::text, payload::text, valid FROM auth.jwt_verify('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ', 'secret', 'HS256') $$,
    $$ VALUES ('{"alg":"HS256","typ":"JWT"}', '{"sub":"1234567890","name":"John Doe","admin":true}', true) $$, 'pgjwt: verify HS256');
SELECT results_eq(
    $$ SELECT header::text, payload::text, valid FROM auth.jwt_verify('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ', 'badsecret', 'HS256') $$,
    $$ VALUES ('{"alg":"HS256","typ":"JWT"}', '{"sub":"1234567890","name":"John Doe","admin":true}', false) $$, 'pgjwt: verify HS256 with another secret');
SELECT is(auth.jwt_sign('{"sub":"1234567890","name":"John Doe","admin":true}', 'secret', 'HS384'), 'eyJhbGciOiJIUzM4NCIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.DtVnCyiYCsCbg8gUP-579IC2GJ7P3CtFw6nfTTPw-0lZUzqgWAo9QIQElyxOpoRm', 'pgjwt: sign HS384 byte for byte');
SELECT results_eq(
    $$ SELECT header::text, payload::text, valid FROM auth.jwt_verify('eyJhbGciOiJIUzM4NCIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.DtVnCyiYCsCbg8gUP-579IC2GJ7P3CtFw6nfTTPw-0lZUzqgWAo9QIQElyxOpoRm', 'secret', 'HS384') $$,
    $$ VALUES ('{"alg":"HS384","typ":"JWT"}', '{"sub":"1234567890","name":"John Doe","admin":true}', true) $$, 'pgjwt: verify HS384');
SELECT results_eq(
    $$ SELECT header::text, payload::text, valid FROM auth.jwt_verify('eyJhbGciOiJIUzM4NCIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.DtVnCyiYCsCbg8gUP-579IC2GJ7P3CtFw6nfTTPw-0lZUzqgWAo9QIQElyxOpoRm', 'badsecret', 'HS384') $$,
    $$ VALUES ('{"alg":"HS384","typ":"JWT"}', '{"sub":"1234567890","name":"John Doe","admin":true}', false) $$, 'pgjwt: verify HS384 with another secret');
SELECT is(auth.jwt_sign('{"sub":"1234567890","name":"John Doe","admin":true}', 'secret', 'HS512'), 'eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.YI0rUGDq5XdRw8vW2sDLRNFMN8Waol03iSFH8I4iLzuYK7FKHaQYWzPt0BJFGrAmKJ6SjY0mJIMZqNQJFVpkuw', 'pgjwt: sign HS512 byte for byte');
SELECT results_eq(
    $$ SELECT header::text, payload::text, valid FROM auth.jwt_verify('eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.YI0rUGDq5XdRw8vW2sDLRNFMN8Waol03iSFH8I4iLzuYK7FKHaQYWzPt0BJFGrAmKJ6SjY0mJIMZqNQJFVpkuw', 'secret', 'HS512') $$,
    $$ VALUES ('{"alg":"HS512","typ":"JWT"}', '{"sub":"1234567890","name":"John Doe","admin":true}', true) $$, 'pgjwt: verify HS512');
SELECT results_eq(
    $$ SELECT header::text, payload::text, valid FROM auth.jwt_verify('eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.YI0rUGDq5XdRw8vW2sDLRNFMN8Waol03iSFH8I4iLzuYK7FKHaQYWzPt0BJFGrAmKJ6SjY0mJIMZqNQJFVpkuw', 'badsecret', 'HS512') $$,
    $$ VALUES ('{"alg":"HS512","typ":"JWT"}', '{"sub":"1234567890","name":"John Doe","admin":true}', false) $$, 'pgjwt: verify HS512 with another secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', 'secret', 'bogus') $$, 'PT400', NULL, 'F2: auth.jwt_sign(''{}'', ''secret'', ''bogus''): no such algorithm');
SELECT throws_ok($$ SELECT auth.jwt_verify('a.b.c', 'secret', 'bogus') $$, 'PT400', NULL, 'F2: auth.jwt_verify(''a.b.c'', ''secret'', ''bogus''): no such algorithm');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', 'secret', 'none') $$, 'PT400', NULL, 'F2: auth.jwt_sign(''{}'', ''secret'', ''none''): no such algorithm');
SELECT throws_ok($$ SELECT auth.jwt_verify('a.b.c', '', 'none') $$, 'PT400', NULL, 'F2: auth.jwt_verify(''a.b.c'', '''', ''none''): no such algorithm');
SELECT throws_ok($$ SELECT auth.jwt_verify('a.b.c', 'secret', 'hs256') $$, 'PT400', NULL, 'F2: auth.jwt_verify(''a.b.c'', ''secret'', ''hs256''): no such algorithm');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', '') $$, 'PT400', NULL, 'F12: an empty secret signs nothing');
SELECT ok(NOT pg_temp.valid(pg_temp.forge('{"alg":"HS256"}'), ''), 'F12: an empty secret verifies nothing');
SELECT ok(NOT pg_temp.valid('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ', NULL), 'no secret verifies nothing');
SELECT ok(NOT pg_temp.valid(NULL), 'no token is valid');
SELECT throws_ok($$ SELECT auth.jwt_sign('[1]', 'secret') $$, 'PT400', NULL, 'a payload that is no object is refused');
SELECT is((auth.jwt_verify(auth.jwt_sign('{"é":"\u00e9 😀"}', 'sécret'), 'sécret')).payload::text, '{"é":"\u00e9 😀"}', 'a payload and a secret beyond ASCII come back');
SELECT ok(pg_temp.valid(pg_temp.forge('{"alg":"HS256"}')), 'the forgery that the attacks start from is valid');

-- keys in PEM and JWK
SELECT ok(pg_temp.valid(auth.jwt_sign('{"sub":"1"}', pg_temp.key('rsa'), 'RS256'), pg_temp.key('rsa public'), 'RS256'), 'RS256: rsa signs, rsa public verifies');
SELECT ok(pg_temp.valid(auth.jwt_sign('{"sub":"1"}', pg_temp.key('rsa pkcs1'), 'RS256'), pg_temp.key('rsa pkcs1 public'), 'RS256'), 'RS256: rsa pkcs1 signs, rsa pkcs1 public verifies');
SELECT ok(pg_temp.valid(auth.jwt_sign('{"sub":"1"}', pg_temp.key('rsa jwk'), 'RS256'), pg_temp.key('rsa public jwk'), 'RS256'), 'RS256: rsa jwk signs, rsa public jwk verifies');
SELECT ok(pg_temp.valid(auth.jwt_sign('{"sub":"1"}', pg_temp.key('ec'), 'ES256'), pg_temp.key('ec public'), 'ES256'), 'ES256: ec signs, ec public verifies');
SELECT ok(pg_temp.valid(auth.jwt_sign('{"sub":"1"}', pg_temp.key('ec sec1'), 'ES256'), pg_temp.key('ec public jwk'), 'ES256'), 'ES256: ec sec1 signs, ec public jwk verifies');
SELECT ok(pg_temp.valid(auth.jwt_sign('{"sub":"1"}', pg_temp.key('ec jwk'), 'ES256'), pg_temp.key('ec public'), 'ES256'), 'ES256: ec jwk signs, ec public verifies');
SELECT ok(pg_temp.valid(auth.jwt_sign('{"sub":"1"}', pg_temp.key('ed'), 'EdDSA'), pg_temp.key('ed public'), 'EdDSA'), 'EdDSA: ed signs, ed public verifies');
SELECT ok(pg_temp.valid(auth.jwt_sign('{"sub":"1"}', pg_temp.key('ed jwk'), 'EdDSA'), pg_temp.key('ed public jwk'), 'EdDSA'), 'EdDSA: ed jwk signs, ed public jwk verifies');
SELECT ok(pg_temp.valid(auth.jwt_sign('{"sub":"1"}', E' \n\t' || pg_temp.key('rsa'), 'RS256'), E'\r\n ' || pg_temp.key('rsa public'), 'RS256'), 'a PEM behind white space is that PEM');
SELECT ok(pg_temp.valid(auth.jwt_sign('{"sub":"1"}', E' \n' || pg_temp.key('ed jwk'), 'EdDSA'), E'\n ' || pg_temp.key('ed public jwk'), 'EdDSA'), 'a JWK behind white space is that JWK');
SELECT ok(pg_temp.valid(auth.jwt_sign('{"sub":"1"}', pg_temp.key('oct jwk')), pg_temp.key('oct jwk')), 'an oct JWK is the secret that it carries');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', pg_temp.key('rsa public'), 'RS256') $$, 'PT400', NULL, 'RS256: rsa public signs nothing');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', pg_temp.key('ec public jwk'), 'ES256') $$, 'PT400', NULL, 'ES256: ec public jwk signs nothing');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', pg_temp.key('ed public'), 'EdDSA') $$, 'PT400', NULL, 'EdDSA: ed public signs nothing');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', pg_temp.key('rsa'), 'ES256') $$, 'PT400', NULL, 'F3: rsa is no key of ES256');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', pg_temp.key('ec'), 'RS256') $$, 'PT400', NULL, 'F3: ec is no key of RS256');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', pg_temp.key('ed'), 'ES256') $$, 'PT400', NULL, 'F3: ed is no key of ES256');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', pg_temp.key('ec'), 'EdDSA') $$, 'PT400', NULL, 'F3: ec is no key of EdDSA');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', pg_temp.key('rsa jwk'), 'EdDSA') $$, 'PT400', NULL, 'F3: rsa jwk is no key of EdDSA');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', 'secret', 'RS256') $$, 'PT400', NULL, 'F3: a secret is no key of RS256');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', left(pg_temp.key('rsa'), 200), 'RS256') $$, 'PT400', NULL, 'half a PEM is no key');

-- attacks
SELECT ok(NOT pg_temp.valid(pg_temp.forge('{"alg":"none"}')), 'F2: alg none (CVE-2015-9235, CVE-2022-23540): none, rightly signed');
SELECT ok(NOT pg_temp.valid(pg_temp.b64u('{"alg":"none"}') || '.' || pg_temp.b64u('{"sub":"1"}') || '.'), 'F2: alg none: none, unsigned');
SELECT ok(NOT pg_temp.valid(pg_temp.forge('{"alg":"None"}')), 'F2: alg none (CVE-2015-9235, CVE-2022-23540): None, rightly signed');
SELECT ok(NOT pg_temp.valid(pg_temp.b64u('{"alg":"None"}') || '.' || pg_temp.b64u('{"sub":"1"}') || '.'), 'F2: alg none: None, unsigned');
SELECT ok(NOT pg_temp.valid(pg_temp.forge('{"alg":"NONE"}')), 'F2: alg none (CVE-2015-9235, CVE-2022-23540): NONE, rightly signed');
SELECT ok(NOT pg_temp.valid(pg_temp.b64u('{"alg":"NONE"}') || '.' || pg_temp.b64u('{"sub":"1"}') || '.'), 'F2: alg none: NONE, unsigned');
SELECT ok(NOT pg_temp.valid(pg_temp.forge('{"alg":"nOnE"}')), 'F2: alg none (CVE-2015-9235, CVE-2022-23540): nOnE, rightly signed');
SELECT ok(NOT pg_temp.valid(pg_temp.b64u('{"alg":"nOnE"}') || '.' || pg_temp.b64u('{"sub":"1"}') || '.'), 'F2: alg none: nOnE, unsigned');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', pg_temp.key('rsa public'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): rsa public as it is is no secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', ' ' || pg_temp.key('rsa public'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): rsa public behind a space (CVE-2026-34950) is no secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', E'\n' || pg_temp.key('rsa public'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): rsa public behind a line end is no secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', E'\ufeff' || pg_temp.key('rsa public'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): rsa public behind a byte order mark is no secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', pg_temp.key('rsa pkcs1 public'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): rsa pkcs1 public as it is is no secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', ' ' || pg_temp.key('rsa pkcs1 public'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): rsa pkcs1 public behind a space (CVE-2026-34950) is no secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', E'\n' || pg_temp.key('rsa pkcs1 public'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): rsa pkcs1 public behind a line end is no secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', E'\ufeff' || pg_temp.key('rsa pkcs1 public'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): rsa pkcs1 public behind a byte order mark is no secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', pg_temp.key('ec public'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): ec public as it is is no secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', ' ' || pg_temp.key('ec public'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): ec public behind a space (CVE-2026-34950) is no secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', E'\n' || pg_temp.key('ec public'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): ec public behind a line end is no secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', E'\ufeff' || pg_temp.key('ec public'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): ec public behind a byte order mark is no secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', pg_temp.key('ed public'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): ed public as it is is no secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', ' ' || pg_temp.key('ed public'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): ed public behind a space (CVE-2026-34950) is no secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', E'\n' || pg_temp.key('ed public'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): ed public behind a line end is no secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', E'\ufeff' || pg_temp.key('ed public'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): ed public behind a byte order mark is no secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', pg_temp.key('rsa public jwk'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): rsa public jwk as it is is no secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', ' ' || pg_temp.key('rsa public jwk'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): rsa public jwk behind a space (CVE-2026-34950) is no secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', E'\n' || pg_temp.key('rsa public jwk'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): rsa public jwk behind a line end is no secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', E'\ufeff' || pg_temp.key('rsa public jwk'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): rsa public jwk behind a byte order mark is no secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', pg_temp.key('ec public jwk'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): ec public jwk as it is is no secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', ' ' || pg_temp.key('ec public jwk'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): ec public jwk behind a space (CVE-2026-34950) is no secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', E'\n' || pg_temp.key('ec public jwk'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): ec public jwk behind a line end is no secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', E'\ufeff' || pg_temp.key('ec public jwk'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): ec public jwk behind a byte order mark is no secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', pg_temp.key('ed public jwk'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): ed public jwk as it is is no secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', ' ' || pg_temp.key('ed public jwk'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): ed public jwk behind a space (CVE-2026-34950) is no secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', E'\n' || pg_temp.key('ed public jwk'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): ed public jwk behind a line end is no secret');
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', E'\ufeff' || pg_temp.key('ed public jwk'), 'HS256') $$, 'PT400', NULL, 'F3: RS/HS confusion (CVE-2022-29217, CVE-2023-48223): ed public jwk behind a byte order mark is no secret');
SELECT ok(NOT pg_temp.valid(signed || '.' || pg_temp.b64u(pg_temp.hmac(convert_to(signed, 'UTF8'), sha256(convert_to(pg_temp.key('rsa public'), 'UTF8')))),
        pg_temp.key('rsa public'), 'HS256'), 'F3: RS/HS confusion: a token MACed with the public PEM (hashed, as HMAC does with a long key)')
  FROM (SELECT pg_temp.b64u('{"alg":"HS256"}') || '.' || pg_temp.b64u('{"sub":"1"}')) AS s (signed);
SELECT ok(NOT pg_temp.valid(signed || '.' || pg_temp.b64u(pg_temp.hmac(convert_to(signed, 'UTF8'), sha256(convert_to(pg_temp.key('rsa public'), 'UTF8')))),
        pg_temp.key('rsa public'), 'RS256'), 'F3: RS/HS confusion: the same under the third argument RS256')
  FROM (SELECT pg_temp.b64u('{"alg":"HS256"}') || '.' || pg_temp.b64u('{"sub":"1"}')) AS s (signed);
SELECT throws_ok($$ SELECT auth.jwt_sign('{}', 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBdH', 'HS256') $$, 'PT400', NULL, 'F3: CVE-2022-29217: an SSH public key is no secret');
SELECT ok(NOT pg_temp.valid(pg_temp.with_signature(token, signature), pg_temp.key('ec public'), 'ES256'), 'F10: psychic signature (CVE-2022-21449): ' || says)
  FROM auth.jwt_sign('{"sub":"1"}', pg_temp.key('ec'), 'ES256') AS token,
       (VALUES ('r = s = 0', decode(repeat('00', 64), 'hex')), ('r = s = n', decode(repeat('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 2), 'hex')), ('DER of zeros', decode('3006020100020100', 'hex'))) AS v (says, signature);
SELECT ok(NOT pg_temp.valid(pg_temp.forge('{"alg":"HS256","crit":["exp"]}')), 'F6: unknown crit (CVE-2025-59420, CVE-2026-35042): ["exp"]');
SELECT ok(NOT pg_temp.valid(pg_temp.forge('{"alg":"HS256","crit":[]}')), 'F6: unknown crit (CVE-2025-59420, CVE-2026-35042): []');
SELECT ok(NOT pg_temp.valid(pg_temp.forge('{"alg":"HS256","crit":["b64"]}')), 'F6: unknown crit (CVE-2025-59420, CVE-2026-35042): ["b64"]');
SELECT ok(NOT pg_temp.valid(pg_temp.forge('{"alg":"HS256","crit":"exp"}')), 'F6: unknown crit (CVE-2025-59420, CVE-2026-35042): "exp"');
SELECT ok(NOT pg_temp.valid(pg_temp.forge('{"alg":"HS256","crit":null}')), 'F6: unknown crit (CVE-2025-59420, CVE-2026-35042): null');
SELECT ok(NOT pg_temp.valid(pg_temp.forge('{"alg":"HS256","crit":["x","x"]}')), 'F6: unknown crit (CVE-2025-59420, CVE-2026-35042): ["x","x"]');
SELECT ok(NOT pg_temp.valid(pg_temp.with_signature('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ', substr(pg_temp.unb64u(split_part('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ', '.', 3)), 1, n))), 'GHSA-869p-cjfg-cm3x: HMAC cut to ' || n || ' bytes') FROM unnest('{0,1,16,31}'::int[]) AS n;
SELECT ok(NOT pg_temp.valid(pg_temp.with_signature('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ', set_byte(mac, n, get_byte(mac, n) # 1))), 'F18: HMAC with a flipped bit at byte ' || n) FROM pg_temp.unb64u(split_part('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ', '.', 3)) AS mac, unnest('{0,8,31}'::int[]) AS n;
SELECT ok(NOT pg_temp.valid(repeat('.', n)), 'F20: dots bomb (CVE-2025-30204): ' || n || ' dots') FROM unnest('{1,2,3,1000,1000000}'::int[]) AS n;
SELECT ok(NOT pg_temp.valid('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ' || repeat('A', 2000000)), 'F20: a token of two million characters');
SELECT ok(pg_temp.valid(pg_temp.forge('{"alg":"HS256","kid":"' || kid || '"}')), 'F5: kid ' || says || ' decides nothing') FROM (VALUES ('of SQL', '''; DROP TABLE x; --'), ('of a path', '../../../../../../dev/null'), ('of a shell', '| id')) AS v (says, kid);
SELECT ok(NOT pg_temp.valid(pg_temp.forge('{"alg":"HS256","kid":' || kid || '}')), 'F5: kid ' || says) FROM (VALUES ('with NUL', '"a\u0000b"'), ('that is a number', '1'), ('of 100 kB', '"' || repeat('k', 100000) || '"')) AS v (says, kid);
SELECT ok(NOT pg_temp.valid(pg_temp.with_signature(pg_temp.forge('{"alg":"ES256","jwk":' || pg_temp.key('ec public jwk') || '}'), '\x00'), pg_temp.key('ec public'), 'ES256'), 'F4: embedded jwk with a signature that is nobody''s');
SELECT ok(NOT pg_temp.valid(pg_temp.forge('{"alg":"HS256","jwk":{"kty":"oct","k":"c2VjcmV0"}}'), 'other'), 'F4: embedded jwk is ignored: the key is the caller''s');
SELECT ok(NOT pg_temp.valid(pg_temp.forge('{"alg":"HS256","' || name || '":"http://127.0.0.1:9/"}'), 'other'), 'F4: ' || name || ' is ignored: the key is the caller''s') FROM unnest('{jku,x5u}'::text[]) AS name;
SELECT ok(pg_temp.valid(pg_temp.with_signature(token, substr(signature, 1, 32) || twin), pg_temp.key('ec public'), 'ES256'), 'F19: ECDSA malleability: the (r, n - s) twin is the same token; sessions are known by jti')
  FROM auth.jwt_sign('{"sub":"1"}', pg_temp.key('ec'), 'ES256') AS token,
       pg_temp.unb64u(split_part(token, '.', 3)) AS signature,
       pg_temp.n_minus(substr(signature, 33)) AS twin;
SELECT ok(NOT pg_temp.valid(left(t, -1) || chr(ascii(right(t, 1)) + 1)), 'F19: base64url malleability: another last character with the same bytes') FROM (VALUES ('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ')) AS v (t);
SELECT ok(NOT pg_temp.valid(t || '='), 'F7: padding') FROM (VALUES ('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ')) AS v (t);
SELECT ok(NOT pg_temp.valid(t || ' '), 'F7: white space behind') FROM (VALUES ('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ')) AS v (t);
SELECT ok(NOT pg_temp.valid(' ' || t), 'F7: white space before') FROM (VALUES ('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ')) AS v (t);
SELECT ok(NOT pg_temp.valid(t || E'\n'), 'F7: a line end') FROM (VALUES ('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ')) AS v (t);
SELECT ok(NOT pg_temp.valid(replace(t, '.', E'.\n')), 'F7: line ends within') FROM (VALUES ('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ')) AS v (t);
SELECT ok(NOT pg_temp.valid(translate(t, '-_', '+/') || '+'), 'F7: the other alphabet') FROM (VALUES ('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ')) AS v (t);
SELECT ok(NOT pg_temp.valid('Bearer ' || t), 'F7: the scheme') FROM (VALUES ('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ')) AS v (t);
SELECT ok(NOT pg_temp.valid(t || '.'), 'F7: four parts') FROM (VALUES ('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ')) AS v (t);
SELECT ok(NOT pg_temp.valid(split_part(t, '.', 1) || '.' || split_part(t, '.', 2)), 'F7: two parts') FROM (VALUES ('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ')) AS v (t);
SELECT ok(NOT pg_temp.valid(split_part(t, '.', 1) || '..' || split_part(t, '.', 3)), 'F7: no payload') FROM (VALUES ('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ')) AS v (t);
SELECT ok(NOT pg_temp.valid('é' || t), 'F7: a character beyond ASCII') FROM (VALUES ('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ')) AS v (t);
SELECT ok(NOT pg_temp.valid(pg_temp.with_signature(token, decode(repeat('ff', 16372), 'hex')), pg_temp.key('ec public'), 'ES256'), 'F10: raw to DER overflow: a signature of 21,830 characters') FROM auth.jwt_sign('{"sub":"1"}', pg_temp.key('ec'), 'ES256') AS token;
SELECT ok(NOT pg_temp.valid(pg_temp.with_signature(token, substr(signature, 1, 32) || pg_temp.plus_l(substr(signature, 33))), pg_temp.key('ed public'), 'EdDSA'), 'F11: EdDSA S + L') FROM auth.jwt_sign('{"sub":"1"}', pg_temp.key('ed'), 'EdDSA') AS token, pg_temp.unb64u(split_part(token, '.', 3)) AS signature;
SELECT ok(NOT pg_temp.valid(replace(token, pg_temp.b64u('{"alg":"RS256","typ":"JWT"}'), pg_temp.b64u('{"alg":"PS256","typ":"JWT"}')), pg_temp.key('rsa public'), 'RS256'), 'PS/RS padding swap: alg PS256') FROM auth.jwt_sign('{"sub":"1"}', pg_temp.key('rsa'), 'RS256') AS token;
SELECT ok(NOT pg_temp.valid(pg_temp.forge('{"alg":"HS256","cty":"JWT"}', '{"sub":"1"}')), 'nested JWT: cty');
SELECT ok(NOT pg_temp.valid(pg_temp.forge('{"alg":"HS256"}', 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWV9.TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ')), 'nested JWT: a token as the payload');
SELECT ok(NOT pg_temp.valid(pg_temp.forge('{"alg":"HS256","zip":"DEF"}')), 'zip: a packed payload');
SELECT ok(NOT pg_temp.valid(pg_temp.forge(h)), 'F8: duplicate keys in the header: ' || h) FROM unnest(ARRAY['{"alg":"HS256","alg":"none"}', '{"alg":"none","alg":"HS256"}', '{"alg":"HS256","\u0061lg":"none"}', '{"alg":"HS256","kid":"a","kid":"b"}']) AS h;
SELECT ok(NOT pg_temp.valid(pg_temp.forge('{"alg":"HS256"}', p)), 'F8: duplicate keys in the payload, which json and jsonb read apart: ' || p) FROM unnest(ARRAY['{"exp":1,"exp":4102444800}', '{"exp":4102444800,"exp":1}', '{"sub":"1","sub":"2"}']) AS p;
SELECT ok(NOT pg_temp.valid(pg_temp.forge('{"alg":"HS256","b64":false}')), 'F6: b64 false (RFC 7797)');
SELECT ok(NOT pg_temp.valid(pg_temp.forge('{"alg":"HS256"}', '{"a":' || repeat('[', n) || repeat(']', n) || '}')), 'F20: deep nesting: ' || n || ' levels') FROM unnest('{33,1000,100000}'::int[]) AS n;
SELECT is(pg_temp.valid(pg_temp.forge('{"alg":"HS256"}', p)), false, 'NumericDate overflow or the past: ' || p) FROM unnest(ARRAY['{"exp":0}', '{"exp":-9223372036854775808}', '{"exp":-1e400}', '{"nbf":1e400}', '{"nbf":9223372036854775808}', '{"exp":"1"}', '{"exp":5,"nbf":10}']) AS p;
SELECT is(pg_temp.valid(pg_temp.forge('{"alg":"HS256"}', p)), true, 'pgjwt: a date far away, or none: ' || p) FROM unnest(ARRAY['{"exp":4102444800}', '{"exp":1e18}', '{"exp":18446744073709551617}', '{"nbf":0}', '{"exp":4102444800.5}', '{"exp":4.1024448e9}', '{"nbf":1.5}', '{}']) AS p;
SELECT is(pg_temp.valid(pg_temp.forge('{"alg":"HS256"}', p)), false, 'F14: a date that is no number (pgjwt: valid): ' || p) FROM unnest(ARRAY['{"exp":"soon"}', '{"exp":"4102444800"}', '{"exp":null}', '{"exp":true}', '{"exp":[4102444800]}', '{"exp":{}}', '{"nbf":"1"}', '{"nbf":null}', '{"nbf":"soon","exp":4102444800}', '{"exp":"soon","nbf":1}']) AS p;
SELECT is(pg_temp.valid(pg_temp.forge(h)), true, 'typ is not looked at: ' || h) FROM unnest(ARRAY['{"alg":"HS256","typ":"at+jwt"}', '{"alg":"HS256","typ":"jwt"}', '{"typ":1,"alg":"HS256"}', '{"alg":"HS256","typ":null}']) AS h;
-- RFC 9864: EdDSA's other name. The token is somebody else's, of the key of RFC 8037 A.1.
SELECT is(pg_temp.valid('eyJhbGciOiJFZDI1NTE5In0.eyJzdWIiOiJ4In0.I4wvDNSR3uQKJuhTb7QyWoaI2NgMM1X-hAIXma7b8DWtR8Sx7dg7gL3IInoFatwy7nWJYnevZFcssPXyjyPCAw', pg_temp.key('ed public'), algorithm), true, 'a token whose header says Ed25519, as ' || algorithm) FROM unnest('{EdDSA,Ed25519}'::text[]) AS algorithm;
SELECT is(split_part(auth.jwt_sign('{}', pg_temp.key('ed'), 'Ed25519'), '.', 1), pg_temp.b64u('{"alg":"EdDSA","typ":"JWT"}'), 'what is signed here says EdDSA, as ever');
-- RFC 7468 section 3: eol = CRLF / CR / LF.
SELECT is(pg_temp.valid(auth.jwt_sign('{"a":1}', replace(pg_temp.key('ec sec1'), E'\n', eol), 'ES256'), replace(pg_temp.key('ec public'), E'\n', eol) || eol, 'ES256'), true, 'PEM with line ends of ' || says)
  FROM (VALUES (E'\r', 'CR'), (E'\r\n', 'CRLF'), (E'\n', 'LF')) AS v (eol, says);
SELECT is(pg_temp.valid(auth.jwt_sign('{"a":1}', E'-----BEGIN EC PARAMETERS-----\rBggqhkjOPQMBBw==\r-----END EC PARAMETERS-----\r' || replace(pg_temp.key('ec sec1'), E'\n', E'\r'), 'ES256'), pg_temp.key('ec public'), 'ES256'), true, 'PEM with CR and an EC PARAMETERS block before it');

-- a key that can't be read is told from a bad token
INSERT INTO key VALUES
    ('certificate', '-----BEGIN CERTIFICATE-----
MIIBdTCCARugAwIBAgIUdeC64jflwvmo+j/TMS0L5DvwFc0wCgYIKoZIzj0EAwIw
EDEOMAwGA1UEAwwFcGd0YXAwHhcNMjYxMTI2MDU0MzM3WhcNMjYxMTI3MDU0MzM3
WjAQMQ4wDAYDVQQDDAVwZ3RhcDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABGv6
aMdjRsk41jU/ueJBKsn9xqxRZmqncXcrAvawo4zaGItFdllkBKtdh+IfzicAaRD1
APLq07xU6wAxwOlRQe6jUzBRMB0GA1UdDgQWBBT4nHiEYSfZiT40aplwmTCHjeSY
8jAfBgNVHSMEGDAWgBT4nHiEYSfZiT40aplwmTCHjeSY8jAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0gAMEUCIFcbXyXvJHFMDaTbhj+du0B+7RDHk/dVaw8d
e+i0ng8VAiEAs4cPhJU3J+d+mcd/fkXuE9mF6VDqN0PPAEBEQpdoSqA=
-----END CERTIFICATE-----'),
    ('encrypted', '-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAj3Xt125aqiHwICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEIakza0pqRrt6bsMchkS9S8EgZAN
qdfsXE0a0M9HpQwabXGxTLUUYhv8QHkIIwJZ6Ni9ELSToBGUy4pJLC/gmWJ/TfcH
JZW5tn+NAapGyheXJsc8WdsRJA2MqhcWiKOdRsoG7OidTwwZg4ppDieRDStkn9J4
ctLEtSjlVki3K7ZYlXNOxpQH6+F9VxC0K5cYlnu43YpLQwx8cswU+0bqhicfsB0=
-----END ENCRYPTED PRIVATE KEY-----'),
    ('encrypted old', '-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,7071CF56E33AC50431EE853A2D5E637C

Abbx7YD4cuftW5vgvu+LKkYqzjvHg+F69P3yyX0fCI3OKdELL2C0Et0D/RdII013
coyZ4G688njgtQGSjKCvrjVmoVS6+mDfoUWERHFPxnD4bQh52PQgq0vM/ql+jCzP
rSUy4SO/sUSDGB72Ac6Ur9iGQ9WRoFPl4isJHJtMPTw=
-----END EC PRIVATE KEY-----'),
    ('literal', replace((SELECT value FROM key WHERE name = 'ec public'), E'\n', '\n')),
    ('ssh', '-----BEGIN OPENSSH PRIVATE KEY-----' || E'\nb3BlbnNzaC1rZXktdjEA\n' || '-----END OPENSSH PRIVATE KEY-----'),
    ('ssh public', 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBdH'),
    ('half', left((SELECT value FROM key WHERE name = 'ec public'), 100)),
    ('half jwk', left((SELECT value FROM key WHERE name = 'ec public jwk'), 60)),
    ('jwks', '{"keys":[' || (SELECT value FROM key WHERE name = 'ec public jwk') || ']}'),
    ('text', 'secret'),
    ('long', repeat('x', 20000));
CREATE FUNCTION pg_temp.hint(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text; hint text; message text;
BEGIN
    EXECUTE statement;
    RETURN 'none';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, message = MESSAGE_TEXT;
    RETURN detail || ': ' || hint;
END
$$;
SELECT matches(pg_temp.hint(format('SELECT auth.jwt_verify(%L, pg_temp.key(%L), %L)', token, name, 'ES256')), '^invalid_request: ' || pattern, format('a key that is %s, and %s', name, says))
  FROM (VALUES ('certificate', 'The secret is a certificate'), ('encrypted', 'The secret is an encrypted PEM'), ('encrypted old', 'The secret is an encrypted PEM'), ('literal', 'The secret is a PEM with .n in place of line ends'),
        ('ssh', 'The secret is a key of SSH'), ('ssh public', 'The secret is a key of SSH'), ('half', 'The secret is a PEM without a key'), ('half jwk', 'The secret is no JWK'), ('jwks', 'The secret is no JWK'), ('text', 'The secret is neither'), ('long', 'The secret is too long')) AS k (name, pattern),
       (VALUES (auth.jwt_sign('{"sub":"1"}', pg_temp.key('ec'), 'ES256'), 'a good token'), (pg_temp.forge('{"alg":"HS256"}'), 'a token of another algorithm')) AS t (token, says);
SELECT matches(pg_temp.hint(format('SELECT auth.jwt_sign(%L, pg_temp.key(%L), %L)', '{}', name, 'ES256')), '^invalid_request: ' || pattern, format('signing with a key that is %s', name))
  FROM (VALUES ('certificate', 'The secret is a certificate'), ('encrypted', 'The secret is an encrypted PEM'), ('literal', 'The secret is a PEM with'), ('half jwk', 'The secret is no JWK'), ('text', 'The secret is neither'), ('rsa', 'The secret is no key that signs with this algorithm'), ('ec public', 'The secret is no key that signs')) AS k (name, pattern);
SELECT ok(NOT pg_temp.valid(pg_temp.forge('{"alg":"HS256"}'), pg_temp.key(name)), 'F3: under HS256 a key is no secret, and no mistake: ' || name) FROM unnest('{certificate,encrypted,ec public,ssh public}'::text[]) AS name;
SELECT ok(NOT pg_temp.valid(auth.jwt_sign('{"sub":"1"}', pg_temp.key('ec'), 'ES256'), pg_temp.key(name), 'ES256'), 'F3: a good key of another algorithm verifies nothing: ' || name) FROM unnest('{rsa public,ed public jwk,oct jwk}'::text[]) AS name;
SELECT matches(pg_temp.hint($$SELECT auth.jwt_verify('eyJhIjoxfQ.eyJhIjoxfQ.AAAA', 'tell-tale', 'RS256')$$), '^invalid_request: ((?!tell-tale).)*$', 'G3: and the hint has nothing of it');
SELECT ok(NOT pg_temp.valid(pg_temp.forge('{"alg":"HS256"}', p)), 'a payload that is no object: ' || p) FROM unnest(ARRAY['[]', '1', '"a"', 'null', '', '{', '{"a":"\ud800"}', '{"a":"\u0000"}']) AS p;
SELECT ok(NOT pg_temp.valid(signed || '.' || pg_temp.b64u(pg_temp.hmac(convert_to(signed, 'UTF8'), 'secret'))), 'F9: ' || says) FROM (SELECT says, pg_temp.b64u(h) || '.' || pg_temp.b64u(p) FROM (VALUES ('a header behind a byte order mark', '\xefbbbf'::bytea || '{"alg":"HS256"}', '{}'::bytea), ('a payload that is no UTF-8', '{"alg":"HS256"}', '\x7b2261223a22ff227d'), ('a payload in UTF-16', '{"alg":"HS256"}', '\xfffe7b007d00'), ('a header with NUL', '\x7b22616c67223a224853323536227d00', '{}'))  AS v (says, h, p)) AS s (says, signed);
SELECT results_eq($$ SELECT header::text, payload::text, valid FROM auth.jwt_verify('no.token.here', 'secret') $$, $$ VALUES (NULL, NULL, false) $$, 'what can''t be read is NULL, and no error');

-- promises
SELECT is((SELECT array_agg(DISTINCT provolatile) FROM pg_proc WHERE oid IN ('auth.jwt_sign'::regproc, 'auth.jwt_verify'::regproc)), '{v}'::"char"[], 'F15: neither is IMMUTABLE nor STABLE');
SELECT ok(NOT has_function_privilege('public', 'auth.jwt_sign(json, text, text)', 'EXECUTE') AND NOT has_function_privilege('public', 'auth.jwt_verify(text, text, text)', 'EXECUTE'), 'neither is granted to PUBLIC');

-- F15: a literal in a prepared generic plan, in a transaction opened before
CREATE TEMP TABLE soon AS SELECT ceil(extract(epoch FROM clock_timestamp()) + 1)::bigint AS exp;
SELECT format('PREPARE literal AS SELECT valid FROM auth.jwt_verify(%L, ''secret'')', auth.jwt_sign(json_build_object('exp', exp), 'secret')) FROM soon \gexec
SET LOCAL plan_cache_mode = force_generic_plan;
SELECT results_eq('EXECUTE literal', 'VALUES (true)', 'F15: valid before exp');
DO $$ BEGIN WHILE extract(epoch FROM clock_timestamp()) < (SELECT exp FROM soon) LOOP PERFORM pg_sleep(0.02); END LOOP; END $$;
SELECT results_eq('EXECUTE literal', 'VALUES (false)', 'F15: refused after exp, in the same plan and transaction');

SELECT * FROM finish();
ROLLBACK;
