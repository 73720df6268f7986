#!/usr/bin/python3
"""hashes.py: password hashes as the systems that accounts come from make them.

    test/migrate/hashes.py      those of Python's libraries, as committed in
                                hashes.tsv (Debian's python3-django,
                                python3-passlib, python3-werkzeug,
                                python3-bcrypt, python3-argon2)

A line is: what made it, the password, the hash, with tabs between. What isn't
installed is left out, and what a version doesn't have yet.
"""
import base64
import hashlib
import os

PASSWORDS = ("correct horse battery", "pass wörd ✓ 长密码")


def passlib_hashes(password):
    from passlib.hash import (argon2, bcrypt, pbkdf2_sha256, pbkdf2_sha512,
                              scrypt, sha512_crypt)
    yield "passlib pbkdf2_sha256", pbkdf2_sha256.hash(password)
    yield "passlib pbkdf2_sha512", pbkdf2_sha512.hash(password)
    yield "passlib scrypt", scrypt.using(rounds=14).hash(password)
    yield "passlib sha512_crypt", sha512_crypt.using(rounds=5000).hash(password)
    yield "passlib sha512_crypt, rounds", sha512_crypt.using(rounds=10000).hash(password)
    yield "passlib bcrypt 2b", bcrypt.using(rounds=6).hash(password)
    yield "passlib bcrypt 2y", bcrypt.using(rounds=6, ident="2y").hash(password)
    yield "passlib argon2i", argon2.using(type="I", memory_cost=8192, rounds=3, parallelism=1).hash(password)
    yield "passlib argon2id, four lanes", argon2.using(type="ID", memory_cost=8192, rounds=2, parallelism=4).hash(password)


def django_hashes(password):
    from django.conf import settings
    from django.contrib.auth import hashers
    if not settings.configured:
        settings.configure(PASSWORD_HASHERS=["django.contrib.auth.hashers." + name for name in (
            "PBKDF2PasswordHasher", "Argon2PasswordHasher", "BCryptPasswordHasher",
            "BCryptSHA256PasswordHasher")])
    for name in ("pbkdf2_sha256", "argon2", "bcrypt", "bcrypt_sha256"):
        yield "django " + name, hashers.make_password(password, hasher=name)


def werkzeug_hashes(password):
    from werkzeug.security import generate_password_hash
    for method in ("pbkdf2:sha256:60000", "pbkdf2:sha512:60000", "scrypt"):
        try:
            yield "werkzeug " + method, generate_password_hash(password, method)
        except (TypeError, ValueError):
            pass


def documented_hashes(password):
    """What Debian 12's libraries are too old for, from its documented form."""
    secret = password.encode()
    salt = base64.b64encode(os.urandom(12)).decode().replace("+", "a").replace("/", "b")
    digest = hashlib.scrypt(secret, salt=salt.encode(), n=32768, r=8, p=1, maxmem=2**26, dklen=64)
    yield "werkzeug 3 scrypt", "scrypt:32768:8:1$%s$%s" % (salt, digest.hex())
    digest = hashlib.scrypt(secret, salt=salt.encode(), n=16384, r=8, p=1, maxmem=2**26, dklen=64)
    yield "django 4 scrypt", "scrypt$16384$%s$8$1$%s" % (salt, base64.b64encode(digest).decode())
    raw = os.urandom(16)
    for name, length in (("sha256", 32), ("sha512", 64)):
        digest = hashlib.pbkdf2_hmac(name, secret, raw, 50000)
        parts = [base64.b64encode(part).decode().rstrip("=") for part in (raw, digest)]
        yield "PHC pbkdf2-" + name, "$pbkdf2-%s$i=50000$%s$%s" % (name, *parts)
        yield "PHC pbkdf2-%s, length" % name, "$pbkdf2-%s$i=50000,l=%d$%s$%s" % (name, length, *parts)


def main():
    for make in (passlib_hashes, django_hashes, werkzeug_hashes, documented_hashes):
        for password in PASSWORDS:
            try:
                for maker, made in make(password):
                    print(maker, password, made, sep="\t")
            except ImportError:
                break


if __name__ == "__main__":
    main()
