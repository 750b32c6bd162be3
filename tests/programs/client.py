"""usage: python3 client.py requests|urllib PORT
What a program that fetches does; prints what a user sees. PORT is http.server's with a file of 3 MB.
"""
import hashlib
import sys
import urllib.error
import urllib.request

url = f"http://127.0.0.1:{sys.argv[2]}"


def seen(status, body):
    print(status, len(body), hashlib.md5(body).hexdigest())


def urllib_session():
    with urllib.request.urlopen(url + "/file") as reply:
        seen(reply.status, reply.read())
    try:
        urllib.request.urlopen(url + "/none")
    except urllib.error.HTTPError as error:
        seen(error.code, error.read())
    try:
        urllib.request.urlopen(url + "/file", data=bytes(1000))
    except urllib.error.HTTPError as error:
        seen(error.code, error.read())
    with urllib.request.urlopen(url + "/file") as reply:  # broken off
        seen(reply.status, reply.read(1000))


def requests_session():
    import requests

    with requests.Session() as session:
        for path in ("/file", "/none", "/"):
            reply = session.get(url + path, timeout=20)
            seen(reply.status_code, reply.content)
        seen(session.post(url + "/file", data=bytes(1000)).status_code, b"")
        with session.get(url + "/file", stream=True) as reply:  # broken off
            seen(reply.status_code, next(reply.iter_content(1000)))
    seen(requests.head(url + "/file").status_code, b"")


{"urllib": urllib_session, "requests": requests_session}[sys.argv[1]]()
