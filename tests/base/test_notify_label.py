"""What an address is called: by its receivers, never by its secrets."""

import pytest

from base import notify

MAIL = "mailtos://user:password@mail.example.cn?to=boss@example.cn"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (MAIL, "mailtos://user:new%40one@mail.example.cn?to=boss@example.cn"),
        (
            MAIL,
            "mailtos://other:x@smtp.example.cn:465/?to=Boss@example.cn&name=Hotline&format=text",
        ),
        (MAIL, "mailtos://mail.example.cn/boss@example.cn?user=user&pass=other"),
        ("mailto://a:b@c.cn/x@y.cn/z@y.cn", "mailto://a:d@c.cn?to=z@y.cn,x@y.cn"),
        ("mailto://user:one@qq.com", "mailto://user:two@qq.com"),
        ("json://user:one@h.cn/hook?a=1&token=x", "json://user:two@h.cn/hook?a=1&token=y"),
        ("json://h.cn/hook?%2BX-Auth=a", "json://h.cn/hook"),
        ("jsons://user@h.cn/hook?apikey=1", "jsons://user:later@h.cn/hook?apikey=2"),
    ],
)
def test_a_new_password_or_key_changes_no_name(one: str, other: str) -> None:
    assert notify.label(one) == notify.label(other)
    assert notify.former_label(one) != notify.former_label(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (MAIL, "mailtos://user:password@mail.example.cn?to=chief@example.cn"),
        (MAIL, f"{MAIL}&cc=chief@example.cn"),
        ("mailto://user:one@qq.com", "mailto://other:one@qq.com"),
        ("json://h.cn/hook", "json://h.cn/other"),
        ("json://h.cn/hook?to=1", "json://h.cn/hook?to=2"),
        ("wecombot://key-of-one", "wecombot://key-of-another"),
    ],
)
def test_other_receivers_have_another_name(one: str, other: str) -> None:
    assert notify.label(one) != notify.label(other)


@pytest.mark.parametrize(
    "url", ["json://h.cn/Hook?a=%20&b", "file:/srv/reports", "", "slack://A/B/"]
)
def test_an_address_without_secrets_is_called_what_it_was(url: str) -> None:
    assert notify.label(url) == notify.former_label(url)
